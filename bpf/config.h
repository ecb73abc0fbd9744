/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * config.h - constants that are fixed when a program is loaded. The agent
 * writes them into .rodata; the verifier then removes the branches that cannot
 * be taken.
 */
#ifndef MAGLANE_CONFIG_H
#define MAGLANE_CONFIG_H

#include <linux/types.h>

/*
 * SO_NETNS_COOKIE of the node's own namespace: distinguishes host sockets from
 * pod sockets.
 */
const volatile __u64 host_netns_cookie = 0;
/* 1: act only on sockets in the node's own namespace. */
const volatile __u32 host_only = 0;
/* Jiffies per second. */
const volatile __u32 hz = 250;
/*
 * Ports for SNAT, inclusive: between the kubelet's ports and the NodePorts,
 * below the kernel's local range; enough for 10 000 flows to one backend.
 */
const volatile __u32 snat_port_min = 10260;
const volatile __u32 snat_port_max = 29999;
/* Seed of the flow hash; the same on every node. */
const volatile __u32 hash_seed = 0x6d61676c;
/* 1: the kernel has bpf_set_retval() (5.18). */
const volatile __u32 have_set_retval = 0;
/* 1: the kernel's bpf_l4_csum_replace() supports BPF_F_IPV6 (6.16). */
const volatile __u32 have_csum_ipv6 = 0;
/* 1: the XDP program takes multi-buffer frames (5.18). */
const volatile __u32 have_xdp_frags = 0;
/*
 * 1: send back by the ingress device with XDP_REDIRECT, not XDP_TX. XDP_TX on a
 * veth wakes the peer only if the peer has an XDP program of its own
 * (drivers/net/veth.c, veth_xdp_flush); a redirect needs only NAPI there (GRO
 * on).
 */
const volatile __u32 xdp_tx_by_redirect = 0;
/*
 * 1: bpf_fib_lookup() can skip the neighbour (6.3), return the source (6.7),
 * use a mark (6.10).
 */
const volatile __u32 have_fib_skip_neigh = 0;
const volatile __u32 have_fib_src = 0;
const volatile __u32 have_fib_mark = 0;
/*
 * Seconds between packets to a next hop that XDP leaves to TC, because only the
 * stack notices that a neighbour does not answer; 0: none.
 */
const volatile __u32 confirm_seconds = 1;
/* 1: answer ICMP echo requests to service addresses that have a backend. */
const volatile __u32 answer_echo = 0;
/*
 * RSTs, ICMP errors and echo replies: for each kind and CPU a rate per second
 * and a burst. Linux allows 1000 per second for the whole machine
 * (net.ipv4.icmp_msgs_per_sec).
 */
const volatile __u32 answer_rate = 1000;
const volatile __u32 answer_burst = 200;
/*
 * Fragments of one sender that may wait for their first: at once, and further
 * ones per second while no first arrives. An eighth of held_fragments.
 */
const volatile __u32 fragment_budget = 128;
/* Seconds without a packet in either direction after which a flow expires. */
const volatile __u32 timeout_tcp_syn = 20;
const volatile __u32 timeout_tcp = 7200;
/* Reset, or closed by the client first. */
const volatile __u32 timeout_tcp_closed = 10;
/* Closed by the backend first: Linux keeps TIME_WAIT for 60 s. */
const volatile __u32 timeout_tcp_time_wait = 65;
/* A single exchange, and a stream: RFC 4787 REQ-5 requires 120 or more. */
const volatile __u32 timeout_udp = 30;
const volatile __u32 timeout_udp_stream = 180;
/*
 * Seconds without a packet after which a flow that is still opening (TCP
 * handshake, first UDP exchange) loses its port to a flow that finds no free
 * one.
 */
const volatile __u32 timeout_opening = 3;
/* For the fragments of a datagram: the kernel's own (net.ipv4.ipfrag_time). */
const volatile __u32 timeout_fragment = 30;

#endif
