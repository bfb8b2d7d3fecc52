import { describe, expect, it } from "vitest";
import { bodyFormat, contentTypeOf, DISCOVERY_MEDIA, negotiate, RESOURCE_MEDIA, type Negotiated } from "./media.ts";

function chosen(accept: string | undefined, served = RESOURCE_MEDIA): string {
  const negotiated = negotiate(accept, served);
  if (!negotiated) return "406";
  const { format, transform, isStream } = negotiated;
  return [format, transform?.kind, transform?.version, isStream ? "stream" : undefined].filter(Boolean).join(" ");
}

describe("what clients really send", () => {
  it.each([
    [undefined, "json"],
    ["", "json"],
    ["*/*", "json"],
    ["application/*", "json"],
    ["text/html, application/yaml;q=0.9, */*;q=0.8", "yaml"],
    ["application/json;q=0.1, application/vnd.kubernetes.protobuf", "protobuf"],
    ["application/vnd.kubernetes.protobuf, */*", "protobuf"],
    ["text/plain", "406"],
    ["application/json;q=0", "406"],
    [
      "application/json;as=Table;v=v1;g=meta.k8s.io,application/json;as=Table;v=v1beta1;g=meta.k8s.io,application/json",
      "json Table v1",
    ],
    ["application/json;g=meta.k8s.io;as=Table;v=v1", "json Table v1"],
    ["application/json;as=Table;v=v7;g=meta.k8s.io, application/json", "json"],
    ["application/json;as=Table;v=v7;g=meta.k8s.io", "406"],
    ["application/vnd.kubernetes.protobuf;as=Table;v=v1;g=meta.k8s.io, application/json", "json"],
    [
      "application/vnd.kubernetes.protobuf;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1,application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1,application/json",
      "protobuf PartialObjectMetadataList v1",
    ],
    ["application/json;as=PartialObjectMetadata;v=v1;g=meta.k8s.io", "json PartialObjectMetadata v1"],
    ["application/vnd.kubernetes.protobuf;stream=watch", "protobuf stream"],
    ["application/json;stream=other", "406"],
    ["application/json; charset=utf-8; profile=nopeer", "json"],
  ])("Accept %s: %s", (accept, expected) => {
    expect(chosen(accept)).toBe(expected);
  });

  it.each([
    [
      "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList,application/json;g=apidiscovery.k8s.io;v=v2beta1;as=APIGroupDiscoveryList,application/json",
      "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList",
    ],
    [
      "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList;profile=nopeer,application/json",
      "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList",
    ],
    [
      "application/json;g=apidiscovery.k8s.io;v=v3;as=APIGroupDiscoveryList,application/json;as=APIGroupDiscoveryList;v=v2beta1;g=apidiscovery.k8s.io",
      "application/json;g=apidiscovery.k8s.io;v=v2beta1;as=APIGroupDiscoveryList",
    ],
    ["application/json", "application/json"],
  ])("discovery Accept %s", (accept, contentType) => {
    expect(contentTypeOf(negotiate(accept, DISCOVERY_MEDIA) as Negotiated)).toBe(contentType);
  });

  it("names the stream of a protobuf watch", () => {
    const protobuf = negotiate("application/vnd.kubernetes.protobuf", RESOURCE_MEDIA) as Negotiated;
    expect(contentTypeOf(protobuf, true)).toBe("application/vnd.kubernetes.protobuf;stream=watch");
    expect(contentTypeOf(negotiate("*/*", RESOURCE_MEDIA) as Negotiated, true)).toBe("application/json");
  });

  it("knows the formats of bodies", () => {
    expect(bodyFormat(undefined)).toBe("json");
    expect(bodyFormat("application/json; charset=utf-8")).toBe("json");
    expect(bodyFormat("Application/YAML")).toBe("yaml");
    expect(bodyFormat("application/vnd.kubernetes.protobuf")).toBe("protobuf");
    expect(bodyFormat("text/plain")).toBeUndefined();
  });
});
