/** Manifests as large charts have them, with fields that say little, odd and legal: they pass, and passing again changes nothing. */
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { apiserverStory, type Story } from "../../story.fixture.ts";

let story: Story;
beforeAll(async () => {
  story = await apiserverStory();
});
afterAll(() => story.close());

const MERGE = "application/merge-patch+json";
const STRATEGIC = "application/strategic-merge-patch+json";
const APPLY = "application/apply-patch+yaml";

/** As Helm's templates render switches that are off. */
const CONTROLLER = {
  replicas: 1,
  minReadySeconds: 0,
  paused: false,
  selector: { matchLabels: { app: "ingress-nginx" } },
  template: {
    metadata: { labels: { app: "ingress-nginx" }, annotations: {} },
    spec: {
      hostNetwork: false,
      hostPID: false,
      nodeSelector: {},
      tolerations: [],
      dnsPolicy: "ClusterFirst",
      initContainers: [],
      imagePullSecrets: [],
      securityContext: {},
      topologySpreadConstraints: [
        {
          maxSkew: 1,
          topologyKey: "topology.kubernetes.io/zone",
          whenUnsatisfiable: "ScheduleAnyway",
          labelSelector: { matchLabels: { app: "ingress-nginx" } },
          matchLabelKeys: ["pod-template-hash"],
        },
      ],
      containers: [
        {
          name: "controller",
          image: `registry.k8s.io/ingress-nginx/controller:v1.12.1@sha256:${"ab".repeat(32)}`,
          args: ["/nginx-ingress-controller", "--publish-service=$(POD_NAMESPACE)/ingress-nginx-controller"],
          env: [
            { name: "POD_NAME", valueFrom: { fieldRef: { fieldPath: "metadata.name" } } },
            { name: "LD_PRELOAD", value: "" },
            { name: "GOMEMLIMIT", valueFrom: { resourceFieldRef: { resource: "limits.memory" } } },
          ],
          lifecycle: { preStop: { exec: { command: ["/wait-shutdown"] } } },
          livenessProbe: {
            failureThreshold: 5,
            initialDelaySeconds: 0,
            httpGet: { path: "/healthz", port: 10254, scheme: "HTTP", httpHeaders: [{ name: "X-Probe", value: "" }] },
          },
          ports: [
            { name: "http", containerPort: 80, protocol: "TCP" },
            { name: "webhook", containerPort: 8443, protocol: "TCP" },
          ],
          resources: { limits: { cpu: "1000m", memory: "1024Mi" }, requests: { cpu: 0.1 } },
          securityContext: {
            runAsNonRoot: true,
            runAsUser: 101,
            allowPrivilegeEscalation: false,
            readOnlyRootFilesystem: false,
            capabilities: { add: ["NET_BIND_SERVICE"], drop: ["ALL"] },
            seccompProfile: { type: "RuntimeDefault" },
          },
          stdin: false,
          tty: false,
          volumeMounts: [{ name: "webhook-cert", mountPath: "/usr/local/certificates/", readOnly: true, subPath: "" }],
        },
      ],
      volumes: [
        { name: "webhook-cert", secret: { secretName: "ingress-nginx-admission", optional: false } },
        { name: "tmp", emptyDir: {} },
      ],
    },
  },
};

const METADATA = { name: "ingress-nginx", labels: { app: "ingress-nginx" }, annotations: {} };
const DEPLOYMENTS = "/apis/apps/v1/namespaces/default/deployments";
const PODS = "/api/v1/namespaces/default/pods";

describe("a Deployment of a chart", () => {
  it("is created, and as good as not changed by what the chart says again", async () => {
    const made = await story.ask("POST", DEPLOYMENTS, { body: { metadata: METADATA, spec: CONTROLLER } });
    expect(made.json["message"]).toBeUndefined();
    expect(made.status).toBe(201);
    const { resourceVersion } = made.json["metadata"] as unknown as { resourceVersion: string };
    const again: readonly (readonly [string, string | undefined])[] = [
      ["PUT", undefined],
      ["PATCH", MERGE],
      ["PATCH", STRATEGIC],
    ];
    for (const [method, type] of again) {
      const answer = await story.ask(method, `${DEPLOYMENTS}/ingress-nginx`, {
        body: { apiVersion: "apps/v1", kind: "Deployment", metadata: METADATA, spec: CONTROLLER },
        ...(type ? { contentType: type } : {}),
      });
      expect(answer.json["message"]).toBeUndefined();
      expect(answer.json["metadata"], `${method} ${type ?? ""}`).toMatchObject({ generation: 1, resourceVersion });
    }
  });

  it("passes server-side apply, twice", async () => {
    const body = {
      apiVersion: "apps/v1",
      kind: "Deployment",
      metadata: { ...METADATA, name: "applied" },
      spec: CONTROLLER,
    };
    const path = `${DEPLOYMENTS}/applied?fieldManager=helm`;
    const first = await story.ask("PATCH", path, { body, contentType: APPLY });
    expect(first.status, JSON.stringify(first.json["message"])).toBe(201);
    const second = await story.ask("PATCH", path, { body, contentType: APPLY });
    expect(second.json["metadata"]).toMatchObject({ generation: 1 });
  });
});

describe("a pod", () => {
  it("takes its own manifest again, though only its image could change", async () => {
    await story.ask("POST", "/api/v1/namespaces/default/serviceaccounts", { body: { metadata: { name: "default" } } });
    const spec = { ...CONTROLLER.template.spec, automountServiceAccountToken: false };
    const body = { apiVersion: "v1", kind: "Pod", metadata: { name: "alone" }, spec };
    const made = await story.ask("POST", PODS, { body });
    expect(made.status, JSON.stringify(made.json["message"])).toBe(201);
    const again = await story.ask("PATCH", `${PODS}/alone`, {
      body: { spec: { hostNetwork: false, hostIPC: false, shareProcessNamespace: undefined, nodeSelector: {} } },
      contentType: MERGE,
    });
    expect(again.json["message"]).toBeUndefined();
    expect(again.json["metadata"]).toMatchObject({ generation: 1 });
  });
});
