stub:
  stub_stage.applied:
    - wave: {{ pillar.stage.wave }}
    - stage: {{ pillar.stage.name }}
