{#- The watch of this node. What it is told is a file, so that it works while the master is away. #}
watch-share:
  file.managed:
    - name: /etc/saltern/watch.json
    - contents: {{ salt["healing.share"]() | tojson | tojson }}
    - makedirs: true
    - user: root
    - group: root
    - mode: '0644'

{#- Also in minion.d/saltern.conf; a list that is there twice counts once. #}
watch-config:
  file.managed:
    - name: {{ salt["healing.config_folder"]() }}/saltern-watch.conf
    - contents: |
        # Written by Saltern.
        engines:
          - saltern_watch: {}
    - user: root
    - group: root
    - mode: '0640'

watch-running:
  node_watch.running:
    - name: saltern_watch
    - require:
      - file: watch-share
      - file: watch-config
