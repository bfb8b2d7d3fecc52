import type { One } from "./type-circle-one.ts";

export type Two = { readonly one?: One };
