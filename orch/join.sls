{#- Make new nodes part of a cloud that is at work: salt-run state.orch orch.join pillar='{"nodes": ["cmp3"]}'
    Safe to run again at any point. Whether other nodes have to change is decided in saltern.joining. #}
{%- set cloud = pillar.cloud %}
{%- set nodes = pillar.get("nodes", []) | tojson %}

one operation at a time:
  cloud_operation.exclusive:
    - name: {{ cloud.name }}
    - failhard: true

the nodes are fit:
  cloud_operation.fit:
    - nodes: {{ nodes }}
    - require:
      - cloud_operation: one operation at a time

their services run:
  cloud_operation.built:
    - nodes: {{ nodes }}
    - require:
      - cloud_operation: the nodes are fit

the others know them:
  cloud_operation.introduced:
    - nodes: {{ nodes }}
    - require:
      - cloud_operation: their services run

the nodes have joined:
  cloud_operation.joined:
    - nodes: {{ nodes }}
    - require:
      - cloud_operation: the others know them

{#- Both also when a new compute has failed its trial; nobody waits for names to use it. #}
their names are known:
  cloud_operation.named:
    - nodes: {{ nodes }}
    - require:
      - cloud_operation: the others know them

join:
  cloud_operation.ended:
    - require:
      - cloud_operation: the others know them
