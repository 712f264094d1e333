{#- One stage of one wave, as orch.deploy applies it: pillar.stage = {wave: "2", name: states}. #}
include:
{%- for sls in pillar.cloud.waves[pillar.stage.wave][pillar.stage.name] %}
  - {{ sls }}
{%- endfor %}
