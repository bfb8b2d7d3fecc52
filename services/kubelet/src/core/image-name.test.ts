import { expect, test } from "vitest";
import { imageNameProblem } from "./image-name.ts";

test.each([
  "web",
  "web:1.2",
  "library/web",
  "registry.example:5000/team/web:v1",
  "localhost/web",
  "[2001:db8::1]:5000/web",
  `registry.k8s.io/pause@sha256:${"0".repeat(64)}`,
  "pilothouse.local/web:latest",
  "a__b/c-d.e",
])("%s names an image", (name) => {
  expect(imageNameProblem(name)).toBeUndefined();
});

test.each([
  ["", "invalid reference format"],
  ["web:", "invalid reference format"],
  ["a b", "invalid reference format"],
  ["-web", "invalid reference format"],
  ["web@sha256:12", "invalid reference format"],
  ["Web", "invalid reference format: repository name (library/Web) must be lowercase"],
  ["example.com/Team/web:V1", "invalid reference format: repository name (Team/web) must be lowercase"],
  ["a".repeat(64), `invalid repository name (${"a".repeat(64)}), cannot specify 64-byte hexadecimal strings`],
])("%s names none", (name, why) => {
  expect(imageNameProblem(name)).toBe(why);
});
