{%- set v = pillar.cloud["values"].horizon %}

horizon-packages:
  pkg.installed:
    - pkgs: [openstack-dashboard, openstack-dashboard-apache, apache2, libapache2-mod-wsgi-py3]

horizon-settings:
  file.managed:
    - name: /etc/openstack-dashboard/local_settings.d/_9000_saltern.py
    - source: salt://horizon/files/settings.py.j2
    - template: jinja
    - user: root
    - group: www-data
    - mode: '0640'
    - show_changes: false
    - context: {settings: {{ v.settings | tojson }}}
    - require:
      - pkg: horizon-packages

horizon-ports:
  file.managed:
    - name: /etc/apache2/ports.conf
    - source: salt://horizon/files/ports.conf.j2
    - template: jinja
    - context: {v: {address: {{ v.address }}, port: {{ v.port }}}}
    - require:
      - pkg: horizon-packages

horizon-site:
  file.managed:
    - name: /etc/apache2/sites-available/saltern-horizon.conf
    - source: salt://horizon/files/site.conf.j2
    - template: jinja
    - context:
        v: {address: {{ v.address }}, port: {{ v.port }}, workers: {{ v.workers | tojson }}}
    - require:
      - pkg: horizon-packages

horizon-site-enabled:
  file.symlink:
    - name: /etc/apache2/sites-enabled/saltern-horizon.conf
    - target: ../sites-available/saltern-horizon.conf
    - require:
      - file: horizon-site

horizon-packaged-sites:
  file.absent:
    - names:
{%- for site in v.packaged_sites %}
      - /etc/apache2/sites-enabled/{{ site }}.conf
{%- endfor %}
    - require:
      - pkg: horizon-packages

horizon-unit:
  file.managed:
    - name: /etc/systemd/system/apache2.service.d/saltern.conf
    - source: salt://openstack/files/unit.conf
    - makedirs: true

horizon-service:
  unit.running:
    - name: apache2
    - require:
      - file: horizon-settings
      - file: horizon-ports
      - file: horizon-site-enabled
      - file: horizon-packaged-sites
      - file: horizon-unit
