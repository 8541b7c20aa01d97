/** Resources that are closed together. */

interface Resource {
  close(): Promise<void>;
}

/** Collects resources as they are opened, and closes them in that order. */
export class OpenResources {
  readonly #open: Resource[] = [];

  /** Returns `resource`, which {@link close} will close. */
  add<T extends Resource>(resource: T): T {
    this.#open.push(resource);
    return resource;
  }

  async close(): Promise<void> {
    for (const resource of this.#open.splice(0)) await resource.close();
  }
}
