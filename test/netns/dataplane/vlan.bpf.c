/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * vlan.bpf.c - emulates a VLAN device (net/8021q) on kernels without it. Pops
 * the tag after the programs of the parent, pushes it after those of the device.
 */
#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/pkt_cls.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

const volatile __u32 tag = 0;
const volatile __u32 parent = 0; /* ifindex */
const volatile __u32 device = 0; /* ifindex */

SEC("tc")
int vlan_in(struct __sk_buff *skb)
{
	if (!skb->vlan_present || (skb->vlan_tci & 0xfff) != tag)
		return TC_ACT_UNSPEC;
	if (bpf_skb_vlan_pop(skb))
		return TC_ACT_SHOT;
	return (int)bpf_redirect(device, BPF_F_INGRESS);
}

SEC("tc")
int vlan_out(struct __sk_buff *skb)
{
	if (bpf_skb_vlan_push(skb, bpf_htons(ETH_P_8021Q), tag))
		return TC_ACT_SHOT;
	return (int)bpf_redirect(parent, 0);
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
