/** Ids of the catalogue that no test shows, with the reason. */
export const REASONS: Readonly<Record<string, string>> = {
	'A-76': 'needs a kernel with SCTP, for both peers to have sockets',
	'F-17': 'direct server return is not offered: replies go through the node that the client dialled',
	'F-22': 'about features that maglane does not have (DSR, Geneve, egress gateways, clustermesh)',
	'G R-3': 'optional: Services have no weights',
	'G-04': 'known answers of a hash that maglane does not use',
	'G-05': 'known answers of a hash that maglane does not use, with weights',
	'G-07': 'known answers of a hash that maglane does not use',
	'G-09': 'known answers of a hash that maglane does not use',
	'G-11': 'known answers of a hash that maglane does not use; balance and order are G R-1 and G R-2',
	'G-23': 'informative: figures of the paper, quoted from memory',
};
