{#- On the leader, before any Keystone starts: the schema, the administrator and the first endpoints. #}
{%- set v = pillar.cloud["values"].keystone %}
include:
  - keystone.config

keystone-schema:
  openstack_schema.synced:
    - name: keystone
    - user: keystone
    - config: /etc/keystone/keystone.conf
    - migrations: /usr/lib/python3/dist-packages/keystone/common/sql/migrations/versions
    - sync: [keystone-manage, db_sync]
    - require:
      - file: keystone-config

keystone-administrator:
  keystone_bootstrap.present:
    - name: {{ v.admin.username }}
    - region: {{ v.admin.region_name }}
    - urls: {{ v.urls | tojson }}
    - pillar: cloud:values:keystone:admin:password
    - require:
      - openstack_schema: keystone-schema
      - keystone_keys: /etc/keystone/fernet-keys
      - keystone_keys: /etc/keystone/credential-keys
