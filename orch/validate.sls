{#- Prove that the cloud works: every API with a real token, then a real instance. #}
{%- set cloud = pillar.cloud %}

one operation at a time:
  cloud_operation.exclusive:
    - name: {{ cloud.name }}
    - failhard: true

the cloud works:
  cloud_operation.validated:
    - validator: {{ cloud.validator }}
    - hosts: {{ pillar.get('hosts') | tojson }}
    - require:
      - cloud_operation: one operation at a time
