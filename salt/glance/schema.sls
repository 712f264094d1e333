{#- On the leader, before any Glance starts. #}
include:
  - glance.config

glance-schema:
  openstack_schema.synced:
    - name: glance
    - user: glance
    - config: /etc/glance/glance-api.conf
    - migrations: /usr/lib/python3/dist-packages/glance/db/sqlalchemy/alembic_migrations/versions
    - sync: [glance-manage, db, sync]
    - require:
      - file: glance-config
