{#- On a node that has nova.conf: tell the cells which computes are theirs. A join names those that are there. #}
nova-hosts:
  nova_hosts.mapped:
    - hosts: {{ pillar.get("joining", pillar.cloud["values"].nova.hosts) | tojson }}
