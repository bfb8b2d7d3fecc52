import type { VolumeAttachment, VolumeAttachmentSpec } from "@pilothouse/api/types/storage-v1";
import { checkDns1123Subdomain } from "@pilothouse/selectors/names";
import { AGE, shown } from "../columns.ts";
import { firstErrors, forbidden, immutable, invalidEach, required } from "../field-errors.ts";
import type { FieldErrors } from "../field-errors.ts";
import { keepField } from "../isolation.ts";
import { ALL_VERBS, type KindDefinition } from "../kind.ts";
import { subdomainName } from "../names.ts";
import { STATUS } from "../subresources.ts";
import { driverNameRules } from "./csi-driver.ts";

const ONE_OF = "must specify exactly one of inlineVolumeSpec and persistentVolumeName";

export const volumeAttachment: KindDefinition<VolumeAttachment> = {
  group: "storage.k8s.io",
  version: "v1",
  kind: "VolumeAttachment",
  resource: "volumeattachments",
  singular: "volumeattachment",
  shortNames: [],
  categories: [],
  namespaced: false,
  verbs: ALL_VERBS,
  subresources: [STATUS],
  depth: "full",
  prepareForCreate: (attachment) => {
    delete attachment.status;
  },
  prepareForUpdate: (attachment, old) => keepField(attachment, old, "status"),
  prepareForStatusUpdate: (attachment, old) => keepField(attachment, old, "spec"),
  validate: ({ spec }) => firstErrors(rules(spec)),
  validateCreate: ({ spec }) => firstErrors(createRules(spec)),
  validateUpdate: ({ spec }, old) => firstErrors(immutable("spec", spec, old.spec)),
  columns: [
    shown("Attacher", ({ spec }) => spec?.attacher ?? "", "Who attaches it."),
    shown("PV", ({ spec }) => spec?.source?.persistentVolumeName ?? "", "Which volume."),
    shown("Node", ({ spec }) => spec?.nodeName ?? "", "To which node."),
    shown("Attached", ({ status }) => status?.attached === true, "Whether it is."),
    AGE,
  ],
  ageColumn: false,
};

function* rules(spec: VolumeAttachmentSpec | undefined): FieldErrors {
  const { attacher, source, nodeName } = spec ?? {};
  if (!attacher) yield required("spec.attacher");
  const { inlineVolumeSpec, persistentVolumeName } = source ?? {};
  if (inlineVolumeSpec === undefined && persistentVolumeName === undefined) yield required("spec.source", ONE_OF);
  else if (inlineVolumeSpec !== undefined && persistentVolumeName !== undefined) yield forbidden("spec.source", ONE_OF);
  else if (persistentVolumeName === "") {
    yield required("spec.source.persistentVolumeName", "must specify non empty persistentVolumeName");
  }
  yield* invalidEach("spec.nodeName", nodeName ?? "", checkDns1123Subdomain(nodeName ?? ""));
}

/** Upstream asks these of what is new in v1, and not of what an older version has let in. */
function* createRules(spec: VolumeAttachmentSpec | undefined): FieldErrors {
  yield* driverNameRules("spec.attacher", spec?.attacher);
  const name = spec?.source?.persistentVolumeName;
  if (name !== undefined) yield* invalidEach("spec.source.persistentVolumeName", name, subdomainName(name, false));
}
