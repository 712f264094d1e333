{%- set v = pillar.cloud["values"].nova %}
nova-compute-unit:
  file.managed:
    - name: /etc/systemd/system/nova-compute.service.d/saltern.conf
    - source: salt://nova/files/nova-compute-unit.conf
    - makedirs: true

nova-compute-packages:
  pkg.installed:
    - pkgs: [nova-compute]  # with nova-compute-kvm: the emulators of this architecture only
    - require:
      - file: nova-compute-unit

nova-compute-config:
  file.managed:
    - name: /etc/nova/nova-compute.conf
    - source: salt://nova/files/nova-compute.conf.j2
    - template: jinja
    - context:
        v: {{ v | tojson }}
        virt: {{ salt["hypervisor.virt"](v.cpu) | tojson }}
    - user: root
    - group: nova
    - mode: '0640'
    - show_changes: false
    - require:
      - pkg: nova-compute-packages

{#- A node that is installed anew must be the same compute as before, or Nova refuses to start on it. #}
nova-compute-id:
  file.managed:
    - name: /var/lib/nova/compute_id
    - contents: '{{ v.compute_id }}'
    - user: nova
    - group: nova
    - mode: '0640'
    - replace: false
    - require:
      - pkg: nova-compute-packages

nova-compute-service:
  unit.running:
    - name: nova-compute
    - require:
      - file: nova-compute-config
      - file: nova-compute-id
      - file: nova-compute-unit
