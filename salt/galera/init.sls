{#- MariaDB with Galera, configured and enabled. It is not started here: the deploy forms the cluster. #}
{%- set v = pillar.cloud["values"].galera %}

galera-packages:
  pkg.installed:
    - pkgs: [mariadb-server, mariadb-client, galera-4, mariadb-backup, socat, rsync, python3-pymysql]

galera-config:
  file.managed:
    - name: /etc/mysql/mariadb.conf.d/99-saltern.cnf
    - source: salt://galera/files/99-saltern.cnf.j2
    - template: jinja
    - user: root
    - group: mysql
    - mode: '0640'
    - context: {v: {{ v | tojson }}}
    - require:
      - pkg: galera-packages

galera-dropin:
  file.managed:
    - name: /etc/systemd/system/mariadb.service.d/saltern.conf
    - source: salt://galera/files/mariadb-saltern.conf
    - makedirs: true
    - mode: '0644'

{#- A socket unit would listen on every address, and start MariaDB whenever a balancer knocks. #}
galera-no-socket-activation:
  unit.masked:
    - name: mariadb.socket
    - require:
      - pkg: galera-packages

galera-enabled:
  unit.enabled:
    - name: mariadb
    - require:
      - file: galera-config
      - file: galera-dropin
      - unit: galera-no-socket-activation

galera-check-user:
  user.present:
    - name: saltern-check
    - system: true
    - usergroup: true
    - createhome: false
    - home: /nonexistent
    - shell: /usr/sbin/nologin

galera-check-config:
  file.managed:
    - name: /etc/mysql/saltern-check.json
    - contents: {{ v.check | tojson | tojson }}
    - user: root
    - group: saltern-check
    - mode: '0640'
    - show_changes: false
    - require:
      - user: galera-check-user
      - pkg: galera-packages

galera-check-program:
  file.managed:
    - name: /usr/local/lib/saltern/galera-check.py
    - source: salt://galera/files/galera-check.py
    - makedirs: true
    - mode: '0755'

galera-check-unit:
  file.managed:
    - name: /etc/systemd/system/galera-check.service
    - source: salt://galera/files/galera-check.service
    - mode: '0644'

galera-check-service:
  unit.running:
    - name: galera-check
    - require:
      - file: galera-check-config
      - file: galera-check-program
      - file: galera-check-unit
