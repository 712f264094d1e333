{#- On the leader, before any Placement starts. #}
include:
  - placement.config

placement-schema:
  openstack_schema.synced:
    - name: placement
    - user: placement
    - config: /etc/placement/placement.conf
    - section: placement_database
    - migrations: /usr/lib/python3/dist-packages/placement/db/sqlalchemy/alembic/versions
    - sync: [placement-manage, db, sync]
    - require:
      - file: placement-config
