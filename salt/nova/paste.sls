nova-api-paste:
  file.managed:
    - name: /etc/nova/api-paste.ini
    - source: salt://nova/files/api-paste.ini
    - user: root
    - group: nova
    - mode: '0640'
    - require:
      - pkg: nova-common-packages
