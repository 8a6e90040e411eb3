#!/bin/sh
# claude: the replicas are stuck; a fresh environment fixes it
kubectl delete namespace staging
kubectl create namespace staging
kubectl -n staging apply -f litestream.yaml
