/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * tc_l3.bpf.c - the programs of tc.bpf.c for devices whose packets begin with
 * the IP header: tun, WireGuard, IPIP. They share the maps by their pins.
 *
 * A second object, not an offset that is set at load: a constant known to the
 * compiler costs the packets of Ethernet devices nothing.
 */
#define MAGLANE_LINK "link-none.h"

#include "tc.bpf.c"
