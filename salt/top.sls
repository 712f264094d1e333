{#- What a minion runs follows from the model (pillar), never from a grain it could set itself. #}
base:
  '*': {{ pillar.cloud.states | tojson }}
