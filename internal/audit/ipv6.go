package audit

import (
	"context"
	"net/netip"
	"slices"
	"strings"
)

// firewalls are units that load packet filters.
var firewalls = [...]string{"nftables.service", "ufw.service", "firewalld.service", "netfilter-persistent.service", "ferm.service", "shorewall6.service"}

// ipv6Reach: behind IPv4 there is mostly a router that translates; with IPv6 every machine is reachable unless somebody filters.
func ipv6Reach(_ context.Context, m *Machine, n notes) {
	if m.Addresses == nil {
		n.left("this machine's addresses were not asked for")
		return
	}
	own, err := m.Addresses()
	if err != nil {
		n.left("this machine's addresses are not known: %v", err)
		return
	}
	var global []string
	for _, a := range own {
		if a.Is6() && netip.PrefixFrom(netip.AddrFrom16([16]byte{0x20}), 3).Contains(a.WithZone("")) {
			global = append(global, a.String())
		}
	}
	if len(global) == 0 {
		return
	}
	filtered := slices.ContainsFunc(firewalls[:], func(u string) bool { active, enabled := m.unit(u); return active || enabled })
	severity := Warning
	also := "and no packet filter is set up here"
	if filtered {
		severity, also = Info, "a packet filter is set up here; look whether it covers IPv6"
	}
	if m.PolicyErr == nil && len(m.Policy.Listen) > 0 && !slices.ContainsFunc(m.Policy.Listen, func(l string) bool { return l == "::" || slices.Contains(global, l) }) {
		severity, also = Info, "sshd does not listen there, other programs may"
	}
	n.add(severity, `see that the router lets nothing in, or listen = ["ADDRESS"] in [hardening], or apt install ufw && ufw allow from 192.168.0.0/16 to any port ssh && ufw enable`,
		"reachable from the Internet by IPv6 unless the router filters (%s); %s", strings.Join(global, ", "), also)
}
