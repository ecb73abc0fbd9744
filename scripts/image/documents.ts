/** Documents about an image: its contents and how it was built. */
import type { SystemFiles } from './system.ts';

export interface NpmPackage {
	readonly name: string;
	readonly version: string;
	readonly licence: string | undefined;
}

export interface Build {
	readonly name: string;
	readonly version: string;
	/** `sha256:<hex>` of the image's manifest. */
	readonly digest: string;
	readonly architecture: string;
	/** Seconds since 1970. */
	readonly epoch: number;
	/** Of the sources; `dirty`: the work tree has other changes. */
	readonly commit: { readonly id: string; readonly dirty: boolean };
	readonly node: string;
	readonly clang: string;
	readonly npm: readonly NpmPackage[];
	readonly system: SystemFiles;
	/** `sha256:<hex>` of package-lock.json. */
	readonly lock: string;
}

/** A bill of materials, CycloneDX 1.6 (ECMA-424). */
export function billOfMaterials(build: Build): object {
	const purl = (name: string) => `pkg:npm/${name.replace('@', '%40')}`;
	const npm = build.npm.map(({ name, version, licence }) => ({
		type: 'library',
		name,
		version,
		purl: `${purl(name)}@${version}`,
		...(licence && { licenses: [{ expression: licence }] }),
	}));
	const system = build.system.packages.map(({ name, version }) => ({
		type: 'library',
		name,
		version,
		purl: `pkg:deb/debian/${name}@${encodeURIComponent(version)}?arch=${build.architecture}`,
	}));
	const node = {
		type: 'platform',
		name: 'node',
		version: build.node,
		purl: `pkg:generic/node@${build.node}`,
	};
	return {
		bomFormat: 'CycloneDX',
		specVersion: '1.6',
		version: 1,
		metadata: {
			timestamp: new Date(build.epoch * 1000).toISOString(),
			component: {
				type: 'container',
				name: build.name,
				version: build.version,
				hashes: [{ alg: 'SHA-256', content: hex(build.digest) }],
				licenses: [{ license: { id: 'Apache-2.0' } }],
			},
		},
		components: [node, ...npm, ...system],
	};
}

/** A statement of provenance: in-toto v1 with the predicate SLSA provenance v1. Not signed. */
export function provenance(build: Build): object {
	const { commit } = build;
	return {
		_type: 'https://in-toto.io/Statement/v1',
		subject: [{ name: build.name, digest: { sha256: hex(build.digest) } }],
		predicateType: 'https://slsa.dev/provenance/v1',
		predicate: {
			buildDefinition: {
				buildType: 'urn:maglane:scripts/image.ts',
				externalParameters: { version: build.version, architecture: build.architecture },
				internalParameters: { clang: build.clang, distribution: build.system.distribution },
				resolvedDependencies: [
					{
						uri: 'git:maglane',
						digest: { gitCommit: commit.id },
						...(commit.dirty && { annotations: { uncommittedChanges: true } }),
					},
					{ uri: 'package-lock.json', digest: { sha256: hex(build.lock) } },
					{ uri: `pkg:generic/node@${build.node}` },
				],
			},
			runDetails: { builder: { id: 'urn:maglane:make-image' } },
		},
	};
}

const hex = (digest: string): string => digest.slice('sha256:'.length);
