stub:
  stub_stage.applied:
    - waves: {{ pillar.stage.waves | tojson }}
    - stage: {{ pillar.stage.name }}
