include:
  - neutron.common

neutron-schema:
  openstack_schema.synced:
    - name: neutron
    - user: neutron
    - config: /etc/neutron/neutron.conf
    - migrations: /usr/lib/python3/dist-packages/neutron/db/migration/alembic_migrations/versions
    - sync:
      - neutron-db-manage
{%- for file in pillar.cloud["values"].neutron.config_files %}
      - --config-file={{ file }}
{%- endfor %}
      - upgrade
      - heads
    - require:
      - file: neutron-config
      - file: neutron-ml2
