/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * config.h - what is fixed when a program is loaded. The agent writes these
 * into .rodata; the verifier then removes the branches that cannot be taken.
 */
#ifndef MAGLANE_CONFIG_H
#define MAGLANE_CONFIG_H

#include <linux/types.h>

/* SO_NETNS_COOKIE of the node's own namespace: tells host sockets from pods'. */
const volatile __u64 host_netns_cookie = 0;
/* 1: act on sockets of the node's own namespace only. */
const volatile __u32 host_only = 0;
/* Jiffies a second. */
const volatile __u32 hz = 250;
/*
 * Ports for SNAT, both included: between the kubelet's ports and the NodePorts,
 * below the kernel's local range; enough for 10 000 flows to one backend.
 */
const volatile __u32 snat_port_min = 10260;
const volatile __u32 snat_port_max = 29999;
/* Seed of the flow hash; the same on every node. */
const volatile __u32 hash_seed = 0x6d61676c;
/* 1: the kernel has bpf_set_retval() (5.18). */
const volatile __u32 have_set_retval = 0;
/* 1: the kernel's bpf_l4_csum_replace() knows BPF_F_IPV6 (6.16). */
const volatile __u32 have_csum_ipv6 = 0;
/*
 * 1: leave by the device of entry with XDP_REDIRECT, not XDP_TX. A veth's
 * XDP_TX wakes its peer only if that has an XDP program of its own
 * (drivers/net/veth.c, veth_xdp_flush); a redirect needs just NAPI there (GRO on).
 */
const volatile __u32 xdp_tx_by_redirect = 0;
/* 1: answer ICMP echo requests to service addresses that have a backend. */
const volatile __u32 answer_echo = 0;
/* Seconds without a packet after which a flow is forgotten. */
const volatile __u32 timeout_tcp_syn = 20;
const volatile __u32 timeout_tcp = 7200;
const volatile __u32 timeout_tcp_closed = 10;
const volatile __u32 timeout_udp = 60;
/* Of a TCP handshake, after which its port may go to a flow that finds no other. */
const volatile __u32 timeout_handshake = 3;
/* Of a datagram's fragments, the kernel's own (net.ipv4.ipfrag_time). */
const volatile __u32 timeout_fragment = 30;

#endif
