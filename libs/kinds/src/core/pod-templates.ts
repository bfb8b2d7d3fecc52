import type { PodTemplate } from "@pilothouse/api/types/core-v1";
import { labelsText, shown } from "../columns.ts";
import { firstErrors, sameValue } from "../field-errors.ts";
import { nextGeneration, startGeneration } from "../isolation.ts";
import { ALL_VERBS, type KindDefinition } from "../kind.ts";
import { defaultPodTemplate } from "./pod-defaults.ts";
import { podTemplateRules } from "./pod-template.ts";
import { podTemplateWarnings } from "./pod-warnings.ts";

export const podTemplate: KindDefinition<PodTemplate> = {
  group: "",
  version: "v1",
  kind: "PodTemplate",
  resource: "podtemplates",
  singular: "podtemplate",
  shortNames: [],
  categories: [],
  namespaced: true,
  verbs: ALL_VERBS,
  subresources: [],
  depth: "full",
  defaults: (object) => {
    object.template ??= {};
    defaultPodTemplate(object.template);
  },
  prepareForCreate: (object) => startGeneration(object),
  prepareForUpdate: (object, old) => nextGeneration(object, old, !sameValue(object.template, old.template)),
  validate: ({ template = {} }) => firstErrors(podTemplateRules(template, "template")),
  warnings: ({ template }) => podTemplateWarnings(template, "template"),
  columns: [
    shown("Containers", ({ template }) => containersOf(template, ({ name }) => name), "Names of its containers."),
    shown("Images", ({ template }) => containersOf(template, ({ image = "" }) => image), "Images of its containers."),
    shown("Pod Labels", ({ template }) => labelsText(template?.metadata?.labels), "The labels of pods made of it."),
  ],
  ageColumn: false,
};

function containersOf(
  template: PodTemplate["template"],
  text: (container: { name: string; image?: string }) => string,
): string {
  return (template?.spec?.containers ?? []).map(text).join(",");
}
