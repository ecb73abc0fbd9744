/**
 * `make networks` tests every feature on every network. MAGLANE_NETWORKS="flat vxlan" selects some
 * topologies.
 */
import { describe } from 'vitest';
import { networkSuite } from './support/suite.ts';
import { TOPOLOGIES } from './topologies/index.ts';

const wanted = process.env['MAGLANE_NETWORKS']?.split(/[\s,]+/).filter(Boolean) ?? [];
const chosen = TOPOLOGIES.filter(({ name }) => wanted.length === 0 || wanted.includes(name));
describe.each(chosen)('$name', (topology) => networkSuite(topology));
