{#- What a minion runs follows from the model (pillar), never from a grain it could set itself. #}
base:
  '*':
{%- for sls in pillar.cloud.states %}
    - {{ sls }}
{%- endfor %}
