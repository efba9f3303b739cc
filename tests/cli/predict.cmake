if(TARGET cnnbn-predict)
  cnnbn_add_script_test(cli-predict test_predict.sh LABELS cli)
endif()
