"""Spark: `rdd.pipe` sends each partition through one `inferstream batch`, of which one is killed."""

import shlex
import sys
import tempfile

from pyspark.sql import SparkSession

import fleet


def main():
    program = sys.argv[1]
    service = fleet.Service()
    with tempfile.TemporaryDirectory() as folder:
        gateway = fleet.Gateway(program, service.url, folder)
        # Two tasks at a time, each of which is tried four times.
        session = SparkSession.builder.master("local[2,4]").config("spark.ui.enabled", "false")
        spark = session.getOrCreate()
        killed = []
        thread = fleet.kill_one(program, service, killed)
        lines = spark.sparkContext.parallelize(fleet.rows(), 4)
        # Without `checkCode`, a partition whose worker was killed counts as done, and its rows are lost.
        piped = lines.pipe(shlex.join(fleet.command(program, gateway)), checkCode=True)
        results = piped.collect()
        thread.join()

        # A data frame: one column of rows in, one column of results out.
        frame = spark.createDataFrame([(row,) for row in fleet.rows()], "row string")
        results_of_frame = frame.rdd.map(lambda row: row["row"]).pipe(
            shlex.join(fleet.command(program, gateway)), checkCode=True
        )
        frame = results_of_frame.map(lambda line: (line,)).toDF("result string")
        replayed = [row["result"] for row in frame.collect()]

        spark.stop()
        gateway.stop()
    assert len(killed) == 1
    fleet.check("spark, pipe", results, service, len(killed))
    fleet.check("spark, data frame again", replayed, service, 0)


main()
