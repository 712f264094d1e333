{#- On a node that has nova.conf: tell the cells which computes are theirs. #}
nova-hosts:
  nova_hosts.mapped:
    - hosts: {{ pillar.cloud["values"].nova.hosts | tojson }}
