{#- RabbitMQ, configured and enabled. It is not started here: the deploy starts all members together. #}
{%- set v = pillar.cloud["values"].rabbitmq %}

rabbitmq-packages:
  pkg.installed:
    - pkgs: [rabbitmq-server]

{#- Read when the broker starts: members with different cookies do not know each other. #}
rabbitmq-cookie:
  file.managed:
    - name: /var/lib/rabbitmq/.erlang.cookie
    - contents_pillar: cloud:values:rabbitmq:cookie
    - contents_newline: false
    - user: rabbitmq
    - group: rabbitmq
    - mode: '0400'
    - show_changes: false
    - require:
      - pkg: rabbitmq-packages

rabbitmq-config:
  file.managed:
    - name: /etc/rabbitmq/rabbitmq.conf
    - source: salt://rabbitmq/files/rabbitmq.conf.j2
    - template: jinja
    - user: root
    - group: rabbitmq
    - mode: '0640'
    - context: {options: {{ v.config | tojson }}}
    - require:
      - pkg: rabbitmq-packages

rabbitmq-environment:
  file.managed:
    - name: /etc/rabbitmq/rabbitmq-env.conf
    - source: salt://rabbitmq/files/rabbitmq-env.conf.j2
    - template: jinja
    - user: root
    - group: rabbitmq
    - mode: '0640'
    - context: {node: {{ v.node | tojson }}, erlang: {{ v.erlang | tojson }}}
    - require:
      - pkg: rabbitmq-packages

rabbitmq-plugins:
  file.managed:
    - name: /etc/rabbitmq/enabled_plugins
    - contents: '[].'
    - user: root
    - group: rabbitmq
    - mode: '0640'
    - require:
      - pkg: rabbitmq-packages

rabbitmq-dropin:
  file.managed:
    - name: /etc/systemd/system/rabbitmq-server.service.d/saltern.conf
    - source: salt://rabbitmq/files/rabbitmq-saltern.conf
    - makedirs: true
    - mode: '0644'

rabbitmq-enabled:
  unit.enabled:
    - name: rabbitmq-server
    - require:
      - file: rabbitmq-cookie
      - file: rabbitmq-config
      - file: rabbitmq-environment
      - file: rabbitmq-plugins
      - file: rabbitmq-dropin
