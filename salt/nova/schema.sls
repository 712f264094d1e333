include:
  - nova.common

{%- set v = pillar.cloud["values"].nova %}
{%- set migrations = "/usr/lib/python3/dist-packages/nova/db" %}

nova-schema-api:
  openstack_schema.synced:
    - name: nova_api
    - user: nova
    - config: /etc/nova/nova.conf
    - section: api_database
    - migrations: {{ migrations }}/api/migrations/versions
    - sync: [nova-manage, api_db, sync]
    - require:
      - file: nova-config

{%- for cell in v.cells %}

nova-schema-{{ cell.name }}:
  nova_cell.present:
    - name: {{ cell.name }}
    - database: '{{ cell.database }}'
    - transport: '{{ cell.transport }}'
    - require:
      - openstack_schema: nova-schema-api
{%- endfor %}

nova-schema-main:
  openstack_schema.synced:
    - name: nova
    - user: nova
    - config: /etc/nova/nova.conf
    - databases: [nova_cell0, nova]
    - migrations: {{ migrations }}/main/migrations/versions
    - sync: [nova-manage, db, sync]
    - require:
{%- for cell in v.cells %}
      - nova_cell: nova-schema-{{ cell.name }}
{%- endfor %}
