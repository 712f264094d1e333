#!/bin/sh
# Managed by Salt. Asked by package scripts before they start, stop or restart a service; 101 forbids it.
# Services of the cloud are started and restarted by Saltern only, in their order and one batch at a time.
for argument; do
    case $argument in
        --*) ;;
        apache2* | epmd* | galera* | garb* | glance-* | haproxy* | horizon* | keepalived* | keystone* | libvirt* | \
            mariadb* | memcached* | mysql* | neutron-* | nova-* | openvswitch-* | ovn-* | ovs-* | ovsdb-* | \
            placement-* | rabbitmq-* | swift-* | uwsgi* | virtlockd* | virtlogd*) exit 101 ;;
        *) exit 0 ;;
    esac
done
