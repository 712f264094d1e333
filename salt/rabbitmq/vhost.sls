{#- What the services need in the broker, once per cloud: on the leader, after the cluster is formed. #}
{%- set access = pillar.cloud["values"].rabbitmq.access %}

rabbitmq-access:
  rabbitmq_cluster.access:
    - name: {{ access.vhost }}
    - user: {{ access.user }}
    - pillar: cloud:values:rabbitmq:access:password
