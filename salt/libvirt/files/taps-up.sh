#!/bin/sh
# Written by Saltern. libvirt calls this with NAME OPERATION SUB-OPERATION EXTRA and the domain's XML as input.
#
# Open vSwitch without the kernel's module reads the flags of a device that it is given, and writes them. A device that
# libvirt takes up in between is down from then on, and its instance never gets an address. Both are done by now.
[ "$2" = started ] || exit 0
sed -n "s/.*<target dev='\(tap[^']*\)'.*/\1/p" | while read -r device; do
    ip link set dev "$device" up
done
