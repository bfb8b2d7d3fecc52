/** Every verb of kubectl that the kinds served now allow, each once: what it prints, and what it leaves behind. */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { CommandFailed, startOnNode, type TestCluster } from "../harness/cluster.ts";
import { until } from "../harness/index.ts";

const NAMESPACE = "verbs";
const WEB = "pilothouse.local/web:v1";
const TOOLBOX = "pilothouse.local/toolbox:latest";

export function kubectlVerbs(cluster: TestCluster): void {
  let directory = "";
  const split = (args: readonly string[] | string): string[] =>
    typeof args === "string" ? args.split(" ") : [...args];
  /** In a namespace of our own. */
  const k = (args: readonly string[] | string, input?: string) =>
    cluster.kubectl(["-n", NAMESPACE, ...split(args)], input);
  const printed = async (args: readonly string[] | string, input?: string) => normal(await k(args, input));
  const refused = async (args: readonly string[] | string, input?: string): Promise<CommandFailed> => {
    try {
      throw new Error(`did not fail: ${await k(args, input)}`);
    } catch (error) {
      if (error instanceof CommandFailed) return error;
      throw error;
    }
  };

  beforeAll(async () => {
    directory = mkdtempSync(join(tmpdir(), "verbs-"));
    await cluster.kubectl(`create namespace ${NAMESPACE}`);
    await until("its account is there", async () => (await k("get serviceaccounts -o name")) !== "", 10_000);
    await k(`create deployment shop --image=${WEB} --replicas=2 --port=80`);
    await k(["apply", "-f", "-"], JSON.stringify(boxPod));
    await k("rollout status deployment/shop --timeout=60s");
    await k("wait --for=condition=Ready pod/box --timeout=60s");
  }, 120_000);

  afterAll(async () => {
    await cluster.kubectl(`delete namespace ${NAMESPACE} --timeout=60s`);
    rmSync(directory, { recursive: true });
  }, 90_000);

  test("get: every output, sorted, by label, by field, everywhere", { timeout: 60_000 }, async () => {
    expect(await printed("get deployments")).toBe("NAME READY UP-TO-DATE AVAILABLE AGE\nshop 2/2 2 2 AGE\n");
    expect(await printed("get deployments,replicasets -o wide")).toBe(
      `NAME READY UP-TO-DATE AVAILABLE AGE CONTAINERS IMAGES SELECTOR\ndeployment.apps/shop 2/2 2 2 AGE web ${WEB} app=shop\n\n` +
        `NAME DESIRED CURRENT READY AGE CONTAINERS IMAGES SELECTOR\nreplicaset.apps/shop-HASH 2 2 2 AGE web ${WEB} app=shop,pod-template-hash=HASH\n`,
    );
    expect(await printed("get pods --sort-by=.metadata.name --no-headers")).toBe(
      "box 1/1 Running 0 AGE\nshop-HASH-ID 1/1 Running 0 AGE\nshop-HASH-ID 1/1 Running 0 AGE\n",
    );
    expect(await printed("get pod box -o wide")).toMatch(
      /^NAME READY STATUS RESTARTS AGE IP NODE NOMINATED NODE READINESS GATES\nbox 1\/1 Running 0 AGE IP \S+ <none> <none>\n$/,
    );
    expect(await printed("get pods -l app=shop -o name")).toBe("pod/shop-HASH-ID\npod/shop-HASH-ID\n");
    expect(await k("get pods --field-selector=metadata.name=box -o name")).toBe("pod/box\n");
    expect(await printed(`get pods -A --field-selector=metadata.namespace=${NAMESPACE},metadata.name=box`)).toBe(
      `NAMESPACE NAME READY STATUS RESTARTS AGE\n${NAMESPACE} box 1/1 Running 0 AGE\n`,
    );
    expect(await k("get pod box -o jsonpath={.spec.containers[*].name}")).toBe("box");
    expect(await printed("get pod box -o custom-columns=NAME:.metadata.name,IMAGE:.spec.containers[0].image")).toBe(
      `NAME IMAGE\nbox ${TOOLBOX}\n`,
    );
    expect(await k(["get", "pod", "box", "-o", "go-template={{.metadata.name}} {{.status.phase}}"])).toBe(
      "box Running",
    );
    expect(JSON.parse(await k("get pod box -o json"))).toMatchObject({ kind: "Pod", metadata: { name: "box" } });
    expect(await k("get pod box -o yaml")).toMatch(/^apiVersion: v1\nkind: Pod\nmetadata:\n/);
    expect(await printed("get pod box --show-labels --no-headers")).toBe("box 1/1 Running 0 AGE app=box\n");
    expect(await printed("get pods -L app --no-headers box")).toBe("box 1/1 Running 0 AGE box\n");
    expect(await k("get --raw /readyz")).toBe("ok");
    expect((await refused("get pod nothing")).stderr).toBe('Error from server (NotFound): pods "nothing" not found\n');
    expect((await refused("get nothings")).stderr).toBe('error: the server doesn\'t have a resource type "nothings"\n');
    expect(await k("get configmaps nothing --ignore-not-found")).toBe("");
  });

  test("get -w tells each change once", async () => {
    await k("create configmap watched --from-literal=a=b");
    const columns = "custom-columns=TYPE:.type,NAME:.object.metadata.name,LABEL:.object.metadata.labels.seen";
    const watch = ["-n", NAMESPACE, "get", "configmap", "watched", "-w", "--output-watch-events", "-o", columns];
    const watching = startOnNode(cluster, join(cluster.layout.bin, "kubectl"), watch);
    await until("it has begun", () => watching.said().includes("ADDED"), 15_000);
    await k("label configmap watched seen=yes");
    await k("delete configmap watched");
    await until("it has told the end", () => watching.said().includes("DELETED"), 15_000);
    expect(normal(await watching.stop())).toBe(
      "TYPE NAME LABEL\nADDED watched <none>\nMODIFIED watched yes\nDELETED watched yes\n",
    );
  });

  test("describe: a pod, a deployment, a service, a node, a namespace", async () => {
    const pod = await k("describe pod box");
    for (const line of [
      /^Name: +box$/m,
      /^Node: +\S+\/198\.51\.100\.1$/m,
      /^Status: +Running$/m,
      /^QoS Class: +BestEffort$/m,
      /^ +Normal +Scheduled +\S+ +default-scheduler +Successfully assigned verbs\/box to /m,
      /^ +Normal +Started +\S+ +kubelet +.*Container started$/m,
    ]) {
      expect(pod).toMatch(line);
    }
    const deployment = await k("describe deployment shop");
    for (const line of [
      /^Replicas: +2 desired \| 2 updated \| 2 total \| 2 available \| 0 unavailable$/m,
      /^StrategyType: +RollingUpdate$/m,
      /^ +Available +True +MinimumReplicasAvailable$/m,
      /^ +Progressing +True +NewReplicaSetAvailable$/m,
      /^NewReplicaSet: +shop-\S+ \(2\/2 replicas created\)$/m,
      /ScalingReplicaSet +\S+ +deployment-controller +Scaled up replica set shop-\S+ from 0 to 2$/m,
    ]) {
      expect(deployment).toMatch(line);
    }
    expect(await cluster.kubectl("describe service kubernetes")).toMatch(/^Endpoints: +198\.51\.100\.1:6443$/m);
    const node = await cluster.kubectl("describe node");
    expect(node).toMatch(/^ +Ready +True .* KubeletReady +kubelet is posting ready status$/m);
    expect(node).toMatch(/^Allocated resources:$/m);
    expect(await cluster.kubectl(`describe namespace ${NAMESPACE}`)).toMatch(/^Status: +Active$/m);
  });

  test("explain: a kind, a field, all below it", async () => {
    expect(await k("explain pods")).toMatch(/^KIND: +Pod\nVERSION: +v1\n\nDESCRIPTION:\n/);
    expect(await k("explain deployment.spec.replicas")).toContain("FIELD: replicas <integer>");
    expect(await k("explain service --recursive")).toMatch(/ports\t<\[\]ServicePort>\n +appProtocol\t<string>/);
    expect((await refused("explain pod.nothing")).stderr).toBe('error: field "nothing" does not exist\n');
  });

  test("apply: both sides, dry runs, prune", { timeout: 60_000 }, async () => {
    const maps = (...names: string[]): string =>
      names
        .map((name) => `{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"${name}","labels":{"set":"one"}}}`)
        .join("\n---\n");
    expect(await k("apply -f - --dry-run=server", maps("one"))).toBe("configmap/one created (server dry run)\n");
    expect(await k("apply -f - --dry-run=client", maps("one"))).toBe("configmap/one created (dry run)\n");
    expect((await refused("get configmap one")).code).toBe(1);
    expect(await k("apply -f -", maps("one", "two"))).toBe("configmap/one created\nconfigmap/two created\n");
    expect(await k("apply -f - --prune -l set=one --prune-allowlist=core/v1/ConfigMap", maps("one"))).toBe(
      "configmap/one unchanged\nconfigmap/two pruned\n",
    );
    expect(await k("apply -f - --server-side", maps("one"))).toBe("configmap/one serverside-applied\n");
    expect(await k("apply view-last-applied configmap one")).toContain("name: one");
    expect(await k("apply set-last-applied -f -", maps("one"))).toBe("configmap/one configured\n");
    const pruned = "apply -f - --server-side --dry-run=server --force-conflicts --field-manager=me";
    expect(await k(pruned, maps("one"))).toBe("configmap/one serverside-applied (server dry run)\n");
  });

  test("diff: shows what would change, and its exit code tells", async () => {
    const manifest = await k("create configmap one -o json --dry-run=client --from-literal=k=v");
    const changed = await refused("diff -f -", manifest);
    expect([changed.code, changed.stdout]).toEqual([1, expect.stringMatching(/\n\+data:\n\+ {2}k: v\n/)]);
    const other = manifest.replaceAll('"one"', '"fresh"');
    expect((await refused("diff -f -", other)).stdout).toMatch(/\n\+ {2}name: fresh\n/);
  });

  test("edit: what the editor leaves is written", async () => {
    const editor = join(directory, "editor");
    writeFileSync(editor, '#!/bin/sh\nsed -i "s/set: one/set: edited/" "$1"\n', { mode: 0o755 });
    const edited = await cluster.onNode("env", [
      `KUBE_EDITOR=${editor}`,
      join(cluster.layout.bin, "kubectl"),
      ...split(`-n ${NAMESPACE} edit configmap one`),
    ]);
    expect(edited).toBe("configmap/one edited\n");
    expect(await k("get configmap one -o jsonpath={.metadata.labels.set}")).toBe("edited");
  });

  test("patch: strategic, merge, JSON, and a subresource", async () => {
    expect(await k(["patch", "configmap", "one", "-p", '{"data":{"a":"1"}}'])).toBe("configmap/one patched\n");
    expect(await k(["patch", "configmap", "one", "-p", '{"data":{"a":"1"}}'])).toBe(
      "configmap/one patched (no change)\n",
    );
    await k(["patch", "configmap", "one", "--type=merge", "-p", '{"data":{"a":null,"b":"2"}}']);
    await k(["patch", "configmap", "one", "--type=json", "-p", '[{"op":"add","path":"/data/c","value":"3"}]']);
    expect(JSON.parse(await k("get configmap one -o jsonpath={.data}"))).toEqual({ b: "2", c: "3" });
    await k(["patch", "deployment", "shop", "--subresource=scale", "--type=merge", "-p", '{"spec":{"replicas":3}}']);
    expect(await k("get deployment shop -o jsonpath={.spec.replicas}")).toBe("3");
    const bad = await refused([
      "patch",
      "configmap",
      "one",
      "--type=json",
      "-p",
      '[{"op":"remove","path":"/data/none"}]',
    ]);
    expect(bad.stderr).toMatch(
      /^The request is invalid: the server rejected our request due to an error in our request\n$/,
    );
  });

  test("replace, and replace --force", async () => {
    const found = JSON.parse(await k("get configmap one -o json")) as { data: object; metadata: { uid: string } };
    expect(await k("replace -f -", JSON.stringify({ ...found, data: { whole: "new" } }))).toBe(
      "configmap/one replaced\n",
    );
    const forced = await k("replace --force -f -", await k("create configmap one -o json --dry-run=client"));
    expect(forced).toBe('configmap "one" deleted from verbs namespace\nconfigmap/one replaced\n');
    expect(await k("get configmap one -o jsonpath={.metadata.uid}")).not.toBe(found.metadata.uid);
  });

  test("label, annotate, set", async () => {
    expect(await k("label configmap one a=b")).toBe("configmap/one labeled\n");
    expect((await refused("label configmap one a=c")).stderr).toBe(
      "error: 'a' already has a value (b), and --overwrite is false\n",
    );
    expect(await k("label configmap one a=c --overwrite")).toBe("configmap/one labeled\n");
    expect(await k("label configmap one a-")).toBe("configmap/one unlabeled\n");
    expect(await k("annotate configmap one note=well")).toBe("configmap/one annotated\n");
    expect(await k("set env deployment/shop --list")).toBe("# Deployment shop, container web\n");
    expect(await k("set resources deployment/shop --limits=memory=64Mi --dry-run=server")).toBe(
      "deployment.apps/shop resource requirements updated (server dry run)\n",
    );
  });

  test(
    "wire trap 50: scale, and rollout: status, history, restart, pause, resume, undo",
    { timeout: 120_000 },
    async () => {
      expect(await k("scale deployment/shop --replicas=2")).toBe("deployment.apps/shop scaled\n");
      expect((await refused("scale deployment/shop --replicas=2 --current-replicas=7")).stderr).toBe(
        "error: Expected replicas to be 7, was 2\n",
      );
      expect(await k("rollout status deployment/shop --timeout=60s")).toMatch(
        /deployment "shop" successfully rolled out\n$/,
      );
      expect(await k("rollout restart deployment/shop")).toBe("deployment.apps/shop restarted\n");
      await k("rollout status deployment/shop --timeout=60s");
      expect(await printed("rollout history deployment/shop")).toBe(
        "deployment.apps/shop\nREVISION CHANGE-CAUSE\n1 <none>\n2 <none>\n\n",
      );
      expect(await printed("rollout history deployment/shop --revision=1")).toMatch(
        /^deployment\.apps\/shop with revision #1\nPod Template:\n Labels: app=shop\n pod-template-hash=HASH\n Containers:\n web:\n Image: /,
      );
      expect(await k("rollout pause deployment/shop")).toBe("deployment.apps/shop paused\n");
      expect((await refused("rollout pause deployment/shop")).stderr).toBe(
        'error: deployments.apps "shop" is already paused\n',
      );
      expect((await refused("rollout undo deployment/shop")).stderr).toContain(
        "you cannot rollback a paused deployment",
      );
      expect(await k("rollout resume deployment/shop")).toBe("deployment.apps/shop resumed\n");
      expect(await k("rollout undo deployment/shop --to-revision=1")).toBe("deployment.apps/shop rolled back\n");
      await k("rollout status deployment/shop --timeout=60s");
      expect(await printed("rollout history deployment/shop")).toBe(
        "deployment.apps/shop\nREVISION CHANGE-CAUSE\n2 <none>\n3 <none>\n\n",
      );
      const stuck = await k([
        "patch",
        "deployment",
        "shop",
        "-p",
        '{"spec":{"progressDeadlineSeconds":1,"template":{"spec":{"nodeSelector":{"no":"where"}}}}}',
      ]);
      expect(stuck).toBe("deployment.apps/shop patched\n");
      expect((await refused("rollout status deployment/shop --timeout=30s")).stderr).toBe(
        'error: deployment "shop" exceeded its progress deadline\n',
      );
      // Else a slow machine would exceed it again: undo brings back the template alone.
      await k(["patch", "deployment", "shop", "-p", '{"spec":{"progressDeadlineSeconds":600}}']);
      await k("rollout undo deployment/shop");
      await k("rollout status deployment/shop --timeout=60s");
    },
  );

  test("expose, and create: each generator", { timeout: 60_000 }, async () => {
    expect(await k("expose deployment shop --port=80 --name=exposed")).toBe("service/exposed exposed\n");
    expect(await k("get service exposed -o jsonpath={.spec.selector.app}:{.spec.ports[0].targetPort}")).toBe("shop:80");
    for (const [args, says] of [
      ["configmap made --from-literal=a=b", "configmap/made"],
      ["secret generic made --from-literal=a=b", "secret/made"],
      ["secret docker-registry pull --docker-username=u --docker-password=p", "secret/pull"],
      ["serviceaccount made", "serviceaccount/made"],
      ["service clusterip made --tcp=80:8080", "service/made"],
      ["service nodeport made-np --tcp=80", "service/made-np"],
      ["service loadbalancer made-lb --tcp=80", "service/made-lb"],
      ["service externalname made-en --external-name=example.com", "service/made-en"],
      ["role made --verb=get,list --resource=pods", "role.rbac.authorization.k8s.io/made"],
      ["rolebinding made --role=made --user=ann", "rolebinding.rbac.authorization.k8s.io/made"],
      ["deployment made --image=none --replicas=0", "deployment.apps/made"],
    ]) {
      expect(await k(`create ${args}`)).toBe(`${says} created\n`);
    }
    for (const [args, says] of [
      ["namespace made", "namespace/made"],
      ["clusterrole made --verb=get --resource=nodes", "clusterrole.rbac.authorization.k8s.io/made"],
      ["clusterrolebinding made --clusterrole=made --user=ann", "clusterrolebinding.rbac.authorization.k8s.io/made"],
    ]) {
      expect(await cluster.kubectl(`create ${args}`)).toBe(`${says} created\n`);
    }
    expect((await refused("create configmap made")).stderr).toBe(
      'error: failed to create configmap: configmaps "made" already exists\n',
    );
    await cluster.kubectl("delete clusterrole,clusterrolebinding,namespace made --wait=false");
  });

  test("auth: can-i, --list, whoami, reconcile; create token", async () => {
    expect(await k("auth can-i get pods --as=ann")).toBe("yes\n");
    const no = await refused("auth can-i delete pods --as=ann");
    expect([no.code, no.stdout]).toEqual([1, "no\n"]);
    expect(await printed("auth can-i --list --as=ann")).toMatch(/^pods \[\] \[\] \[get list\]$/m);
    expect(await printed("auth whoami")).toMatch(
      /^ATTRIBUTE VALUE\nUsername \S+\n(UID .*\n)?Groups \[system:masters system:authenticated\]\n/,
    );
    expect((await k("create token made --duration=1h")).trim().split(".")).toHaveLength(3);
    const role = await k("get role made -o yaml");
    expect(await k("auth reconcile -f -", role)).toContain("role.rbac.authorization.k8s.io/made reconciled\n");
  });

  test("logs: of one, of many, the last lines, since, of the life before", { timeout: 60_000 }, async () => {
    await k(["apply", "-f", "-"], JSON.stringify(talkers));
    await until(
      "it has died once",
      async () =>
        (await k("get pod twice -o jsonpath={.status.containerStatuses[0].restartCount}")) === "1" &&
        (await k("get pod talker -o jsonpath={.status.phase}")) === "Running",
      30_000,
    );
    expect(await k("logs talker --tail=1")).toBe("three\n");
    expect(await k("logs talker --since=1h --limit-bytes=4")).toBe("one\n");
    expect(await k("logs talker --timestamps --tail=1")).toMatch(/^\d{4}-\d\d-\d\dT[\d:.]+Z three\n$/);
    expect(await k("logs -l set=talkers --tail=1 --prefix")).toContain("[pod/talker/c] three\n");
    expect(await k("logs twice --previous")).toBe("life\n");
    expect(await k("logs twice --all-containers")).toBe("life\n");
    expect((await refused("logs talker --previous")).stderr).toBe(
      'Error from server (BadRequest): previous terminated container "c" in pod "talker" not found\n',
    );
    expect((await refused("logs talker -c none")).stderr).toContain("container none is not valid for pod talker");
  });

  test("wire trap 52: logs -f from the first line to the container's end; a container that waits says why", async () => {
    expect(await k("logs -f ender --pod-running-timeout=20s")).toBe("begin\nend\n");
    expect((await refused("logs waiting")).stderr).toMatch(
      /^Error from server \(BadRequest\): container "c" in pod "waiting" is waiting to start: .+\n$/,
    );
  });

  test("exec: exit codes, input, a terminal, which container", async () => {
    expect(await k("exec box -- echo -n hi")).toBe("hi");
    expect((await refused(["exec", "box", "--", "sh", "-c", "exit 42"])).stderr).toBe(
      "command terminated with exit code 42\n",
    );
    expect(await k(["exec", "-i", "box", "--", "sh", "-c", "wc -c"], "x".repeat(100_000))).toBe("100000\n");
    const terminal = await cluster.onNode("script", [
      "-qec",
      `${join(cluster.layout.bin, "kubectl")} -n ${NAMESPACE} exec -it box -- sh -c 'test -t 0 && echo a terminal'`,
      "/dev/null",
    ]);
    expect(terminal).toContain("a terminal");
    expect((await refused("exec box -c none -- true")).stderr).toBe(
      "error: container none is not valid for pod box out of: box\n",
    );
  });

  test("cp: in and out", async () => {
    const file = join(directory, "file");
    writeFileSync(file, "carried\n".repeat(10_000));
    await k(`cp ${file} box:/tmp/file`);
    expect(await k("exec box -- wc -l /tmp/file")).toBe("10000 /tmp/file\n");
    await k(`cp box:/tmp/file ${file}.back`);
    expect(readFileSync(`${file}.back`, "utf8")).toBe(readFileSync(file, "utf8"));
  });

  test("cordon, taint, drain, uncordon", { timeout: 60_000 }, async () => {
    const node = (await cluster.kubectl("get nodes -o jsonpath={.items[0].metadata.name}")).trim();
    expect(await cluster.kubectl(`cordon ${node}`)).toBe(`node/${node} cordoned\n`);
    expect(await cluster.kubectl(`get node ${node} --no-headers`)).toMatch(/ Ready,SchedulingDisabled /);
    const drained = await cluster.kubectl(`drain ${node} --pod-selector=app=shop,pod-template-hash --timeout=40s`);
    expect(drained).toContain(`node/${node} drained\n`);
    expect(drained).toMatch(/pod\/shop-\S+ evicted\n/);
    expect(await cluster.kubectl(`uncordon ${node}`)).toBe(`node/${node} uncordoned\n`);
    expect(await cluster.kubectl(`taint node ${node} lab=yes:PreferNoSchedule`)).toBe(`node/${node} tainted\n`);
    expect(await cluster.kubectl(`taint node ${node} lab-`)).toBe(`node/${node} untainted\n`);
    await k("rollout status deployment/shop --timeout=40s");
  });

  test("wait: for a condition, a field, a creation, a deletion; and in vain", { timeout: 30_000 }, async () => {
    expect(await k("wait --for=condition=Available deployment/shop --timeout=20s")).toBe(
      "deployment.apps/shop condition met\n",
    );
    expect(await k("wait --for=jsonpath={.status.phase}=Running pod/box --timeout=20s")).toBe(
      "pod/box condition met\n",
    );
    const created = k("wait --for=create configmap/awaited --timeout=20s");
    await k("create configmap awaited");
    expect(await created).toBe("configmap/awaited condition met\n");
    expect((await refused("wait --for=condition=None pod/box --timeout=1s")).stderr).toBe(
      "error: timed out waiting for the condition on pods/box\n",
    );
  });

  test("delete: propagation, grace, force, all of a kind", { timeout: 60_000 }, async () => {
    await k(`create deployment kept --image=${WEB}`);
    await until("its pod is there", async () => (await k("get pods -l app=kept -o name")) !== "", 20_000);
    expect(await k("delete deployment kept --cascade=orphan")).toBe(
      'deployment.apps "kept" deleted from verbs namespace\n',
    );
    expect((await k("get replicasets -l app=kept -o name")).trim()).toMatch(/^replicaset.apps\/kept-/);
    expect(await k("delete replicaset -l app=kept --cascade=foreground")).toMatch(/^replicaset.apps "kept-/);
    expect(await k("get pods -l app=kept --field-selector=status.phase!=Succeeded -o name")).toBe("");
    const forced = await k("delete pod box --force --grace-period=0");
    expect(forced).toBe('pod "box" force deleted from verbs namespace\n');
    expect(await k("delete pod talker twice waiting --grace-period=1 --wait=false")).toContain('pod "talker" deleted');
    expect(await k("delete configmap one awaited --dry-run=server")).toBe(
      'configmap "one" deleted from verbs namespace (server dry run)\nconfigmap "awaited" deleted from verbs namespace (server dry run)\n',
    );
    expect(await k("delete service --all")).toContain('service "exposed" deleted');
    expect((await refused("delete configmap none")).stderr).toBe(
      'Error from server (NotFound): configmaps "none" not found\n',
    );
  });

  test("api-resources, api-versions, version, cluster-info, events, top", { timeout: 60_000 }, async () => {
    expect(normal(await cluster.kubectl("api-resources --api-group=apps"))).toMatch(
      /^NAME SHORTNAMES APIVERSION NAMESPACED KIND\ncontrollerrevisions apps\/v1 true ControllerRevision\n/,
    );
    expect((await cluster.kubectl("api-versions")).split("\n")).toEqual(expect.arrayContaining(["apps/v1", "v1"]));
    expect(await cluster.kubectl("version")).toMatch(/^Server Version: v1\.36\.0\+pilothouse$/m);
    const info = await cluster.kubectl("cluster-info");
    expect(info).toContain("Kubernetes control plane");
    expect(info).toMatch(/CoreDNS.* is running at .*\/api\/v1\/namespaces\/kube-system\/services\/kube-dns/);
    const dump = await cluster.kubectl(`cluster-info dump --namespaces=${NAMESPACE}`);
    expect(dump).toContain('"kind": "NodeList"');
    expect(dump).toContain(`==== START logs for container web of pod ${NAMESPACE}/shop-`);
    expect(normal(await k("events --types=Normal --for deployment/shop"))).toMatch(
      /^LAST SEEN TYPE REASON OBJECT MESSAGE\nAGE( \(x\d+ over AGE\))? Normal ScalingReplicaSet Deployment\/shop Scaled /,
    );
    expect((await refused("top pods")).stderr).toBe("error: Metrics API not available\n");
  });
}

/** Ages, addresses and made names as words, columns one space apart. */
function normal(text: string): string {
  return text
    .replace(/\b(shop)-[0-9a-z]{8,10}-[0-9a-z]{5}\b/g, "$1-HASH-ID")
    .replace(/\b(shop-|pod-template-hash=)[0-9a-z]{8,10}\b/g, "$1HASH")
    .replace(/\b\d+\.\d+\.\d+\.\d+\b/g, "IP")
    .replace(/\b(\d+[smhd])+\b/g, "AGE")
    .replace(/[ \t]+/g, " ")
    .replace(/ $/gm, "");
}

const boxPod = {
  apiVersion: "v1",
  kind: "Pod",
  metadata: { name: "box", labels: { app: "box" } },
  spec: { containers: [{ name: "box", image: TOOLBOX, imagePullPolicy: "IfNotPresent", command: ["sleep", "3600"] }] },
};

const talkers = {
  apiVersion: "v1",
  kind: "List",
  items: [
    talker("talker", "echo one; echo two; echo three; exec sleep 3600"),
    talker("twice", "echo life; test -e /kept/seen && exec sleep 3600; touch /kept/seen; exit 1"),
    talker("ender", "echo begin; sleep 2; echo end"),
    talker("waiting", "true", "pilothouse.local/none:none"),
  ],
};

function talker(name: string, script: string, image = TOOLBOX): object {
  return {
    apiVersion: "v1",
    kind: "Pod",
    metadata: { name, labels: { set: name === "waiting" ? "silent" : "talkers" } },
    spec: {
      restartPolicy: name === "ender" ? "Never" : "OnFailure",
      terminationGracePeriodSeconds: 1,
      volumes: [{ name: "kept", emptyDir: {} }],
      containers: [
        {
          name: "c",
          image,
          imagePullPolicy: "Never",
          command: ["sh", "-c", script],
          volumeMounts: [{ name: "kept", mountPath: "/kept" }],
        },
      ],
    },
  };
}
