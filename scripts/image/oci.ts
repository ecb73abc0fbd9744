/**
 * Writes an image as an OCI layout in a tar archive (github.com/opencontainers/image-spec), without
 * a container engine.
 */
import { createHash } from 'node:crypto';
import { createReadStream, createWriteStream } from 'node:fs';
import { mkdir, readFile, rename, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { createGzip } from 'node:zlib';
import { $ } from 'zx';

export interface Descriptor {
	readonly mediaType: string;
	readonly digest: string;
	readonly size: number;
}

/** One layer: its blob, and the digest of its uncompressed content. */
export interface Layer extends Descriptor {
	readonly diffId: string;
	/** For the history. */
	readonly comment: string;
}

export interface ImageSpec {
	/** Of the image reference, such as `maglane`. */
	readonly name: string;
	readonly version: string;
	/** As Go names it: amd64, arm64. */
	readonly architecture: string;
	/** Seconds since 1970. All times in the image are this one. */
	readonly epoch: number;
	readonly config: {
		readonly Entrypoint: readonly string[];
		readonly Cmd: readonly string[];
		readonly Env: readonly string[];
	};
}

const LAYER = 'application/vnd.oci.image.layer.v1.tar+gzip';
const CONFIG = 'application/vnd.oci.image.config.v1+json';
const MANIFEST = 'application/vnd.oci.image.manifest.v1+json';
const INDEX = 'application/vnd.oci.image.index.v1+json';

/** Options that make a tar archive depend on names, modes and content only. */
const reproducible = (epoch: number): string[] => [
	'--sort=name',
	`--mtime=@${epoch}`,
	...['--owner=0', '--group=0', '--numeric-owner', '--mode=u+rwX,go+rX,go-w'],
	...['--format=posix', '--pax-option=exthdr.name=%d/PaxHeaders/%f,delete=atime,delete=ctime'],
];

/** The OCI layout in a directory. Call add() and layer(), then finish(). */
export class OciLayout {
	readonly #directory: string;
	readonly #epoch: number;

	/** @param directory empty */
	constructor(directory: string, epoch: number) {
		this.#directory = directory;
		this.#epoch = epoch;
	}

	/** Packs a directory tree as a layer. */
	async layer(root: string, comment: string): Promise<Layer> {
		const tar = `${root}.tar`;
		await $`tar ${reproducible(this.#epoch)} -C ${root} -cf ${tar} .`;
		const diffId = await digestOf(tar);
		await pipeline(createReadStream(tar), createGzip(), createWriteStream(`${tar}.gz`));
		return { ...(await this.#place(`${tar}.gz`, LAYER)), diffId, comment };
	}

	/** Adds the manifest of an image with these layers. @returns its descriptor */
	async image(spec: ImageSpec, layers: readonly Layer[]): Promise<Descriptor> {
		const created = new Date(spec.epoch * 1000).toISOString();
		const labels = {
			'org.opencontainers.image.title': spec.name,
			'org.opencontainers.image.version': spec.version,
			'org.opencontainers.image.licenses': 'Apache-2.0',
		};
		const config = await this.#json(CONFIG, {
			created,
			architecture: spec.architecture,
			os: 'linux',
			config: { ...spec.config, Labels: labels },
			rootfs: { type: 'layers', diff_ids: layers.map(({ diffId }) => diffId) },
			history: layers.map(({ comment }) => ({ created, created_by: comment })),
		});
		const blobs = layers.map(({ mediaType, digest, size }) => ({ mediaType, digest, size }));
		return this.#json(MANIFEST, {
			schemaVersion: 2,
			mediaType: MANIFEST,
			config,
			layers: blobs,
			annotations: labels,
		});
	}

	/** Writes the index and the archive. */
	async finish({ version, architecture }: ImageSpec, image: Descriptor, file: string): Promise<void> {
		const manifest = {
			...image,
			platform: { architecture, os: 'linux' },
			annotations: { 'org.opencontainers.image.ref.name': version },
		};
		const index = { schemaVersion: 2, mediaType: INDEX, manifests: [manifest] };
		await writeFile(join(this.#directory, 'index.json'), JSON.stringify(index));
		await writeFile(join(this.#directory, 'oci-layout'), JSON.stringify({ imageLayoutVersion: '1.0.0' }));
		await $`tar ${reproducible(this.#epoch)} -C ${this.#directory} -cf ${file} oci-layout index.json blobs`;
	}

	async #json(mediaType: string, content: object): Promise<Descriptor> {
		const file = join(this.#directory, 'new.json');
		await writeFile(file, JSON.stringify(content));
		return this.#place(file, mediaType);
	}

	async #place(file: string, mediaType: string): Promise<Descriptor> {
		const digest = await digestOf(file);
		const blobs = join(this.#directory, 'blobs/sha256');
		await mkdir(blobs, { recursive: true });
		await rename(file, join(blobs, digest.slice('sha256:'.length)));
		const { size } = await stat(join(blobs, digest.slice('sha256:'.length)));
		return { mediaType, digest, size };
	}
}

/** `sha256:<hex>` of a file. */
export async function digestOf(file: string): Promise<string> {
	const hash = createHash('sha256');
	hash.update(await readFile(file));
	return `sha256:${hash.digest('hex')}`;
}
