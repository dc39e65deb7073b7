// The design document's baseline in its own language: Express and the MongoDB driver, no cache.
// With REDIS_URL set, the same server with cache-aside: one MGET of generation and entry, as the
// catalogue API does it, so that the two do the same work per read.
import express from "express";
import { MongoClient, ObjectId } from "mongodb";
import { createClient } from "redis";

const { MONGO_URL, REDIS_URL, PORT } = process.env;
const TTL_S = 300;
const SUMMARY = {
  title: 1, brand: 1, category: 1, price_usd: 1, rating: 1, ratings: 1, thumbnail_url: 1,
};
const DETAIL = {
  ...SUMMARY, description: 1, stock: 1, image_url: 1, created_at: 1, updated_at: 1, version: 1,
};

const mongo = await new MongoClient(MONGO_URL).connect();
const products = mongo.db("headroom").collection("products");
const redis = REDIS_URL ? await createClient({ url: REDIS_URL }).connect() : null;
const app = express();

const shown = ({ _id, ...rest }) => ({ id: _id.toHexString(), ...rest });

async function page(category, number, limit) {
  const found = await products
    .find(category ? { category } : {}, { projection: SUMMARY })
    .sort({ _id: -1 })
    .skip((number - 1) * limit)
    .limit(limit + 1)
    .toArray();
  return {
    products: found.slice(0, limit).map(shown), page: number, limit, hasMore: found.length > limit,
  };
}

app.get("/api/v1/products", async (request, response) => {
  const { category } = request.query;
  const number = Number(request.query.page ?? 1);
  const limit = Number(request.query.limit ?? 20);
  const isCount = (value, most) => Number.isInteger(value) && value >= 1 && value <= most;
  const isSlug = category === undefined || /^[a-z0-9-]{1,64}$/.test(category);
  if (!isCount(number, 100000) || !isCount(limit, 100) || !isSlug) {
    return response.status(422).json({ title: "Invalid request", status: 422 });
  }
  if (!redis) return response.json(await page(category, number, limit));
  const generation = `express:generation:${category ?? "all"}`;
  const entry = `express:${category ?? ""}:${number}:${limit}`;
  const [token, stored] = await redis.mGet([generation, entry]);
  if (token !== null && stored !== null && stored.startsWith(token)) {
    response.set("X-Cache", "hit").type("json");
    return response.send(stored.slice(token.length));
  }
  const stamp = token ?? Math.random().toString(16).slice(2).padEnd(16, "0").slice(0, 16);
  if (token === null) await redis.set(generation, stamp, { EX: TTL_S + 60 });
  const body = JSON.stringify(await page(category, number, limit));
  await redis.set(entry, stamp + body, { EX: TTL_S });
  response.set("X-Cache", "miss").type("json");
  return response.send(body);
});

app.get("/api/v1/products/:id", async (request, response) => {
  const { id } = request.params;
  if (!/^[0-9a-f]{24}$/.test(id)) {
    return response.status(422).json({ title: "Invalid request", status: 422 });
  }
  const found = await products.findOne({ _id: new ObjectId(id) }, { projection: DETAIL });
  if (!found) return response.status(404).json({ title: "Not found", status: 404 });
  return response.json(shown(found));
});

app.listen(Number(PORT), "127.0.0.1");
