/** Fixtures of roundtrip-v1.36/ that no schema here decodes, with the reason. A test fails when this list is not exact. */
export const FIXTURES_WITHOUT_SCHEMA: Readonly<Record<string, string>> = {
  "admission.k8s.io.v1.AdmissionReview": "sent to webhooks, which are not called yet; never received by an apiserver",
  "admission.k8s.io.v1beta1.AdmissionReview": "the version before it; no longer sent by any apiserver",
  "apidiscovery.k8s.io.v2.APIGroupDiscovery": "a discovery document, answered in JSON only",
  "apidiscovery.k8s.io.v2beta1.APIGroupDiscovery": "a discovery document, answered in JSON only",
  "core.v1.WatchEvent": "has no kind of its own; codec/watch-frame.ts reads and writes it",
  "imagepolicy.k8s.io.v1alpha1.ImageReview": "sent to an image policy webhook, which is not called",
};
