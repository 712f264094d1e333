{%- set v = pillar.cloud["values"].neutron %}
neutron-metadata-unit:
  file.managed:
    - name: /etc/systemd/system/neutron-ovn-metadata-agent.service.d/saltern.conf
    - source: salt://neutron/files/metadata-unit.conf
    - makedirs: true

neutron-metadata-packages:
  pkg.installed:
    - pkgs: [neutron-ovn-metadata-agent, haproxy]
    - require:
      - file: neutron-metadata-unit

neutron-metadata-config:
  file.managed:
    - name: /etc/neutron/neutron_ovn_metadata_agent.ini
    - source: salt://openstack/files/service.conf.j2
    - template: jinja
    - context:
        sections: {{ v.metadata | tojson }}
        overrides: {{ v.metadata_overrides | tojson }}
    - user: root
    - group: neutron
    - mode: '0640'
    - show_changes: false
    - require:
      - pkg: neutron-metadata-packages

neutron-metadata-service:
  unit.running:
    - name: neutron-ovn-metadata-agent
    - require:
      - file: neutron-metadata-config
      - file: neutron-metadata-unit
