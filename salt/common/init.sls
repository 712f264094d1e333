{#- What every node gets before any service: names, time, and packages that do as they are told. #}
include:
  - watch

common-tools:
  pkg.installed:
    - pkgs: [chrony, iproute2]
    - require:
      - file: common-package-policy
      - debconf_answers: common-package-answers

{#- Installing or upgrading a package of the cloud starts, stops and restarts nothing: unconfigured services
    would crash-loop for minutes, and an upgrade of all members at once would cost the quorum. `systemctl
    start` is not asked about it. #}
common-package-policy:
  file.managed:
    - name: /usr/sbin/policy-rc.d
    - source: salt://common/files/policy-rc.d
    - user: root
    - group: root
    - mode: '0755'

{#- The packages would offer to configure databases and endpoints; Salt does that. #}
common-package-answers:
  debconf_answers.managed:
    - name: questions of the OpenStack packages
    - source: salt://common/files/debconf-answers.txt

common-directory:
  file.directory:
    - name: /etc/saltern
    - user: root
    - group: root
    - mode: '0755'

common-hosts:
  hosts_file.managed:
    - name: /etc/hosts
    - hosts: {{ pillar.cloud.hosts | tojson }}
    - aliases:
        {{ pillar.cloud.name }}-internal: {{ pillar.cloud.vips.internal }}
        {{ pillar.cloud.name }}-public: {{ pillar.cloud.vips.public }}

{#- Debian's API units *want* a database, a broker and Keystone on the same node, and would start whatever is
    installed there. What the model does not put on this node stays down; giving it the role unmasks it. #}
common-not-here:
  unit.masked:
    - name: backends that the packages would start
    - units: {{ ["keystone", "mariadb", "rabbitmq-server"] | reject("in", pillar.cloud.units) | list | tojson }}
    - stop: false
    - require:
      - pkg: common-tools

{%- if not salt["file.file_exists"]("/run/systemd/container") %}

{#- A container has its host's clock. #}
common-time:
  unit.running:
    - name: chrony
    - require:
      - pkg: common-tools
{%- endif %}
