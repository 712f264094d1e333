{#- On the leader, once Keystone answers at its virtual address: services, endpoints and their users. #}
keystone-catalogue:
  keystone_catalogue.present:
    - name: catalogue
    - pillar: cloud:values:keystone:catalogue
