/** Claims and volumes as decisions see them: what informers show, and on top of it what was chosen and they do not show yet. */
import type { PersistentVolume, PersistentVolumeClaim, Pod } from "@pilothouse/api/types/core-v1";
import type { StorageClass } from "@pilothouse/api/types/storage-v1";
import type { Informer } from "@pilothouse/informer";
import { claimed } from "@pilothouse/kinds/core/volume-binding";
import type { Scope } from "@pilothouse/lifecycle";
import type { ClusterEvent } from "../core/events.ts";
import type { NodeSnapshot, StorageView } from "../core/snapshot.ts";
import { choicesFor, type VolumeChoices } from "../plugins/volume-binding/volume-binding.ts";

export interface StorageInformers {
  readonly claims: Informer<PersistentVolumeClaim>;
  readonly volumes: Informer<PersistentVolume>;
  readonly storageClasses: Informer<StorageClass>;
}

export class Storage {
  readonly #informers: StorageInformers;
  /** By the volume's name: the claim that it was chosen for. */
  readonly #chosen = new Map<string, PersistentVolumeClaim>();
  readonly view: StorageView;
  readonly claims: Informer<PersistentVolumeClaim>;

  constructor(informers: StorageInformers) {
    this.#informers = informers;
    const { claims, volumes, storageClasses } = informers;
    this.claims = claims;
    this.view = {
      claim: (namespace, name) => claims.get(namespace, name),
      volumes: () => volumes.list().map((volume) => this.#asChosen(volume)),
      storageClass: (name) => storageClasses.get("", name),
    };
  }

  /** Tells of each change until the scope closes. */
  follow(scope: Scope, happened: (event: ClusterEvent) => void): void {
    const { claims, volumes, storageClasses } = this.#informers;
    scope.defer(claims.onChange(({ object: claim }) => happened({ what: "claim changed", claim })));
    scope.defer(
      volumes.onChange((change) => {
        const before = change.type === "updated" ? change.previous : undefined;
        happened({ what: "volume changed", before, volume: change.object });
      }),
    );
    scope.defer(
      storageClasses.onChange(({ object: storageClass }) => happened({ what: "storage class changed", storageClass })),
    );
  }

  /** What the pod's claims need on its node. The volumes are spoken for until `settled`. */
  choose(pod: Pod, node: NodeSnapshot | undefined): VolumeChoices {
    const choices = node ? choicesFor(pod, node, this.view) : { bind: [], provision: [] };
    for (const { claim, volume } of choices.bind) this.#chosen.set(volume.metadata.name ?? "", claim);
    return choices;
  }

  /** Done or failed: from here on what is shown counts. */
  settled({ bind }: VolumeChoices): void {
    for (const { volume } of bind) this.#chosen.delete(volume.metadata.name ?? "");
  }

  #asChosen(volume: PersistentVolume): PersistentVolume {
    const claim = this.#chosen.get(volume.metadata.name ?? "");
    return claim && volume.spec?.claimRef?.uid === undefined ? claimed(volume, claim) : volume;
  }
}
