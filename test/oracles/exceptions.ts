/** Fixtures of roundtrip-v1.36/ that no schema here decodes, with the reason. A test fails when this list is not exact. */
export const FIXTURES_WITHOUT_SCHEMA: Readonly<Record<string, string>> = {
  "admission.k8s.io.v1.AdmissionReview": "sent to webhooks, which are not called yet; never received by an apiserver",
  "admission.k8s.io.v1beta1.AdmissionReview": "the version before it; no longer sent by any apiserver",
  "apidiscovery.k8s.io.v2.APIGroupDiscovery": "a discovery document, answered in JSON only",
  "apidiscovery.k8s.io.v2beta1.APIGroupDiscovery": "a discovery document, answered in JSON only",
  "core.v1.WatchEvent": "has no kind of its own; codec/watch-frame.ts reads and writes it",
  "imagepolicy.k8s.io.v1alpha1.ImageReview": "sent to an image policy webhook, which is not called",
};

/** Query parameters that upstream documents and Pilothouse does not serve. */
export const NOT_DESCRIBED_PARAMETERS: Readonly<Record<string, string>> = {
  shardSelector: "alpha, behind a feature gate that is off",
  ignoreStoreReadErrorWithClusterBreakingPotential: "alpha, behind a feature gate that is off",
};

/** Definitions that differ from upstream's, which says `atomic` where that is the default. */
export const OTHER_DEFINITIONS: Readonly<Record<string, string>> = {
  "io.k8s.apimachinery.pkg.apis.meta.v1.DeleteOptions": "upstream lists it as a kind of every group version",
  "io.k8s.api.authentication.v1.TokenRequestSpec": "audiences is not marked atomic",
  "io.k8s.apimachinery.pkg.apis.meta.v1.StatusDetails": "causes is not marked atomic",
};

/** Paths of served kinds that may be missing: not served yet. */
export const UNSERVED_PATHS: Readonly<Record<string, string>> = {
  "pods/ephemeralcontainers": "kubectl debug",
  "pods/resize": "in-place resize",
};

/** GA groups that would lie if their objects were merely stored. */
export const UNSERVED_GROUPS: Readonly<Record<string, string>> = {
  "admissionregistration.k8s.io": "a stored webhook or policy that is not called is a hole in the fence",
  "apiextensions.k8s.io": "a stored definition promises a resource that is not there",
  "apiregistration.k8s.io": "a stored APIService promises a group that is not relayed",
  "flowcontrol.apiserver.k8s.io": "stored flow schemas would not be obeyed",
};

/** Single GA resources that are not served yet. */
export const UNSERVED_RESOURCES: Readonly<Record<string, string>> = {
  "v1/componentstatuses": "deprecated since v1.19",
};
