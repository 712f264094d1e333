{#- Prove that the cloud works: every API with a real token, then a real instance. #}
{%- set cloud = pillar.cloud %}

the cloud works:
  cloud_operation.validated:
    - validator: {{ cloud.validator }}
    - hosts: {{ pillar.get('hosts') | tojson }}
