{#- The cache of tokens and sessions. It has no password: it listens on the management network only. #}
{%- set v = pillar.cloud["values"].memcached %}

memcached-packages:
  pkg.installed:
    - pkgs: [memcached]

memcached-config:
  file.managed:
    - name: /etc/memcached.conf
    - source: salt://memcached/files/memcached.conf.j2
    - template: jinja
    - mode: '0644'
    - context: {v: {{ v | tojson }}}
    - require:
      - pkg: memcached-packages

memcached-dropin:
  file.managed:
    - name: /etc/systemd/system/memcached.service.d/saltern.conf
    - source: salt://memcached/files/memcached-saltern.conf
    - makedirs: true
    - mode: '0644'

memcached-service:
  unit.running:
    - name: memcached
    - require:
      - file: memcached-config
      - file: memcached-dropin
