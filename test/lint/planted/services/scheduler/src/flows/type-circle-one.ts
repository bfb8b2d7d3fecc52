import type { Two } from "./type-circle-two.ts";

export type One = { readonly two: Two };
