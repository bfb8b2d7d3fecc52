import { afterAll, beforeAll, expect, it } from "vitest";
import { apiserverStory, type Story } from "../../story.fixture.ts";

const CLASSES = "/apis/networking.k8s.io/v1/ingressclasses";
const INGRESSES = "/apis/networking.k8s.io/v1/namespaces/default/ingresses";

let story: Story;
beforeAll(async () => {
  story = await apiserverStory();
});
afterAll(() => story.close());

const made = async (name: string, annotations: object = {}) => {
  const spec = { defaultBackend: { service: { name: "s", port: { number: 80 } } } };
  return (await story.ask("POST", INGRESSES, { body: { metadata: { name, annotations }, spec } })).json["spec"];
};

it("an Ingress that names no class gets the newest default one, unless it names one in the old way", async () => {
  expect(await made("early")).not.toHaveProperty("ingressClassName");
  for (const name of ["first", "second"]) {
    const annotations = { "ingressclass.kubernetes.io/is-default-class": "true" };
    const body = { metadata: { name, annotations }, spec: { controller: "example.com/ingress" } };
    await story.ask("POST", CLASSES, { body });
    await story.clock.advance(2_000);
  }
  expect(await made("new")).toMatchObject({ ingressClassName: "second" });
  expect(await made("old", { "kubernetes.io/ingress.class": "nginx" })).not.toHaveProperty("ingressClassName");
});
