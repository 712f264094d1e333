{#- One stage of some waves, as orch.deploy and orch.join apply it: pillar.stage = {waves: ["2"], name: states}. #}
include:
{%- for wave in pillar.stage.waves %}
{%- for sls in pillar.cloud.waves.get(wave, {}).get(pillar.stage.name, []) %}
  - {{ sls }}
{%- endfor %}
{%- endfor %}
