{#- Bring the whole cloud to the model. Safe to run again at any point: salt-run state.orch orch.deploy #}
{%- set cloud = pillar.cloud %}

one operation at a time:
  cloud_operation.exclusive:
    - name: {{ cloud.name }}
    - failhard: true

every node is fit:
  cloud_operation.fit:
    - require:
      - cloud_operation: one operation at a time
{%- for wave in cloud.waves %}

wave {{ loop.index }} of {{ loop.length }}:
  cloud_operation.wave:
    - wave: {{ loop.index0 }}
    - require:
      - cloud_operation: {{ 'every node is fit' if loop.first else 'wave ' ~ loop.index0 ~ ' of ' ~ loop.length }}
{%- endfor %}

the nodes have joined:
  cloud_operation.joined:
    - require:
      - cloud_operation: wave {{ cloud.waves | length }} of {{ cloud.waves | length }}

{#- Told and kept also when a new compute has failed its trial. #}
deploy:
  cloud_operation.ended:
    - require:
      - cloud_operation: wave {{ cloud.waves | length }} of {{ cloud.waves | length }}
